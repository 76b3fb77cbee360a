#!/usr/bin/env bats
# Addresses, routes, names.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# ping_outside: runs a ping from a container to a network beyond the host, a second namespace that knows no way
# back to 10.x.
ping_outside() {
  ip netns add bh-outside
  ip link add bh-up type veth peer name bh-far netns bh-outside
  ip addr add 192.0.2.1/24 dev bh-up
  ip link set bh-up up
  ip -n bh-outside addr add 192.0.2.2/24 dev bh-far
  ip -n bh-outside link set bh-far up
  run bulkhead run --rm "$BUSYBOX" ping -c 1 -W 5 192.0.2.2
  ip link del bh-up
  ip netns del bh-outside
}

@test "a container has an address of its own, a default route and a resolver" {
  run bulkhead run --rm --dns 192.0.2.53 "$BUSYBOX" sh -c 'ip -4 -o addr show eth0; ip route; cat /etc/resolv.conf; cat /etc/hosts'
  [ "$status" -eq 0 ]
  [[ "$output" == *"10."*"/16"* ]]
  [[ "$output" == *"default via 10."* ]]
  [[ "$output" == *"nameserver 192.0.2.53"* ]]
  [[ "$output" == *"127.0.0.1"*localhost* ]]
}

@test "two containers reach each other by address" {
  bulkhead run -d --name server "$BUSYBOX" sh -c 'mkdir -p /www && echo hello >/www/index.html && httpd -f -p 80 -h /www'
  address=$(field server .network.address)
  run bulkhead run --rm "$BUSYBOX" sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://$address/ && exit; sleep 0.3; done; exit 1"
  [ "$status" -eq 0 ]
  [ "$output" = hello ]
}

@test "the host reaches a container, and a container the host" {
  bulkhead run -d --name server "$BUSYBOX" sh -c 'mkdir -p /www && echo hello >/www/index.html && httpd -f -p 80 -h /www'
  address=$(field server .network.address)
  wait_until 20 curl -sf -o "$WORK/page" "http://$address/"
  [ "$(cat "$WORK/page")" = hello ]
  bulkhead exec server ping -c 1 -W 5 "$(field server .network.gateway)"
}

@test "what leaves is translated to the host's address" {
  ping_outside
  [ "$status" -eq 0 ]
}

@test "containers reach out where docker or ufw drop what is forwarded" {
  nft add table ip filter
  nft add chain ip filter FORWARD '{ type filter hook forward priority 0; policy drop; }'
  ping_outside
  nft delete table ip filter
  [ "$status" -eq 0 ]
}

@test "installations beside each other share the network" {
  bulkhead run -d --name server "$BUSYBOX" sh -c 'mkdir -p /www && echo hello >/www/index.html && httpd -f -p 80 -h /www'
  address=$(field server .network.address)
  (
    export BULKHEAD_STATE_DIR=$WORK/state2 BULKHEAD_RUN_DIR=$WORK/run2
    bulkhead image import "$WORK/busybox.tar" "$BUSYBOX"
    bulkhead run --rm "$BUSYBOX" sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://$address/ && exit; sleep 0.3; done; exit 1"
  ) >"$WORK/page"
  grep -x hello "$WORK/page"
}

@test "a container cannot take another's address" {
  bulkhead run -d --name victim "$BUSYBOX" sleep 1000
  address=$(field victim .network.address)
  run bulkhead run --rm "$BUSYBOX" sh -c "ip addr add $address/16 dev eth0 2>/dev/null; ping -c 1 -W 2 -I $address $(field victim .network.gateway)"
  [ "$status" -ne 0 ]
}

@test "--network none has loopback only" {
  run bulkhead run --rm --network none "$BUSYBOX" sh -c 'ip -o link | cut -d: -f2; ping -c 1 127.0.0.1 >/dev/null && echo lo-works'
  [ "$status" -eq 0 ]
  [ "$output" = " lo
lo-works" ]
}

@test "an unknown network: 125 and its name" {
  run bulkhead run --rm --network nowhere "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ "$output" == *nowhere* ]]
}

@test "networks are listed, inspected and removed" {
  run bulkhead network rm nowhere
  [ "$status" -eq 1 ]
  [[ $output == *nowhere*"not there"* ]]
  sysctl -qw net.ipv4.ip_forward=0
  bulkhead network prune
  before=$(ip -o link; nft list ruleset; sysctl net.ipv4.ip_forward)
  [ "$(bulkhead network list --format json)" = "[]" ]
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  [ "$(bulkhead network ls -q)" = bulkhead ]
  bulkhead network list | grep -q "^bulkhead  *bulkhead0  *10\..*/16 .* 1$"
  [ "$(bulkhead network list --format json | jq -r '.[0] | "\(.bridge) \(.bridge_present) \(.containers)"')" = "bulkhead0 true 1" ]
  [ "$(bulkhead network inspect bulkhead | jq -r '.[0].containers[0] | "\(.name) \(.address)"')" = "box $(field box .network.address)" ]
  # In use: it says by whom, and takes nothing.
  run bulkhead network rm bulkhead
  [ "$status" -eq 1 ]
  [[ $output == *"$(bulkhead list -q)"* ]]
  [ -z "$(bulkhead network prune)" ]
  bulkhead exec box ping -c 1 -W 5 "$(field box .network.gateway)"
  bulkhead stop -t 0 box
  [ "$(bulkhead network rm bulkhead)" = bulkhead ]
  [ "$(ip -o link; nft list ruleset; sysctl net.ipv4.ip_forward)" = "$before" ]
  # The next start makes it again.
  bulkhead start box
  bulkhead exec box ping -c 1 -W 5 "$(field box .network.gateway)"
  bulkhead rm -f box
  [ "$(bulkhead network prune)" = bulkhead ]
  ! ip link show bulkhead0
}

@test "a stranger's bridge of that name is left alone" {
  bulkhead network prune
  ip link add bulkhead0 type bridge
  run bulkhead run --rm "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ $output == *"bulkhead0"*"not made by bulkhead"*"ip link delete bulkhead0"* ]]
  run bulkhead network rm bulkhead
  [ "$status" -eq 1 ]
  ip link show bulkhead0
  ip link delete bulkhead0
  bulkhead run --rm "$BUSYBOX" true
}

@test "addresses and interfaces are given back" {
  before=$(ip -o link | wc -l)
  for i in 1 2 3; do
    bulkhead run --rm "$BUSYBOX" true
  done
  wait_until 10 bash -c "[ \"\$(ip -o link | wc -l)\" -le $before ]"
}
