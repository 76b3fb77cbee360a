#!/usr/bin/env bats
# A thousand starts leave what was there before.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# what_there_is: everything that a start takes and has to give back, of this network namespace and of
# these directories.
what_there_is() {
  echo "processes: $(pgrep -f "$WORK/" -c)"
  echo "mounts: $(wc -l </proc/self/mounts)"
  echo "taps: $(ip -o link show type tun | wc -l)"
  echo "leases: $(bulkhead system info --format json | jq '[.networks[].leases] | add')"
  echo "firewall: $(nft list ruleset | wc -l)"
  echo "descriptors of a shim: $(find "/proc/$(field stays .state.shim_pid)/fd" | wc -l)"
  echo "descriptors of a machine: $(find "/proc/$(field stays .state.vm_pid)/fd" | wc -l)"
  (cd "$WORK" && find state run -not -path '*/events.log' -not -path '*/log*' | sort)
}

no_maker_works() { [ -z "$(template_makers)" ]; }

is_as_before() { what_there_is >"$WORK/after" && cmp -s "$WORK/before" "$WORK/after"; }

@test "a thousand starts, a hundred execs" {
  bulkhead run -d --name stays -m 256m -c 1 "$BUSYBOX" sleep 100000
  wait_until 60 no_maker_works
  bulkhead run --rm -m 256m -c 1 "$BUSYBOX" true
  bulkhead exec stays true
  what_there_is >"$WORK/before"
  for i in $(seq 1000); do
    bulkhead run --rm -m 256m -c 1 "$BUSYBOX" true
    if [ $((i % 10)) -eq 0 ]; then
      [ "$(bulkhead exec stays echo "$i")" = "$i" ]
    fi
  done
  wait_until 10 is_as_before || { diff "$WORK/before" "$WORK/after"; false; }
}
