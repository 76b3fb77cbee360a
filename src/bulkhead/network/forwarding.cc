#include "bulkhead/network/forwarding.h"

#include <linux/netfilter.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/netlink/nftables.h"
#include "bulkhead/netlink/socket.h"
#include "bulkhead/network/firewall.h"
#include "bulkhead/os/file.h"

namespace bulkhead::network {
namespace {

constexpr const char* kTable = "filter";
constexpr const char* kForward = "FORWARD";
// Docker leaves its rules to the administrator, and asks it before its own.
constexpr const char* kDockerUser = "DOCKER-USER";
constexpr const char* kComment = "bulkhead";

/// The chains of iptables' filter table that need our rules; none when it lets packets pass.
Result<std::vector<netlink::Chain>> chains_to_open(netlink::Socket& netfilter) {
  std::vector<netlink::Chain> chains;
  auto forward = BH_TRY(netlink::find_chain(netfilter, NFPROTO_IPV4, kTable, kForward));
  if (!forward || forward->policy != netlink::ChainPolicy::Drop) {
    return chains;
  }
  chains.push_back(*std::move(forward));
  if (auto user = BH_TRY(netlink::find_chain(netfilter, NFPROTO_IPV4, kTable, kDockerUser))) {
    chains.push_back(*std::move(user));
  }
  return chains;
}

/// What a chain needs before it lets the bridge's packets pass, as nft has it. Whose rules do it is
/// all the same: iptables-restore brings ours back without their comment.
Result<std::vector<std::string>> missing_rules(netlink::Socket& netfilter,
                                               const netlink::Chain& chain,
                                               const std::string& bridge) {
  bool input = false;
  bool output = false;
  for (const netlink::ChainRule& rule : BH_TRY(netlink::list_rules(netfilter, chain))) {
    input = input || rule.accepted_input == bridge;
    output = output || rule.accepted_output == bridge;
  }
  std::vector<std::string> missing;
  if (!input) {
    missing.push_back(fmt::format("iifname \"{}\"", bridge));
  }
  if (!output) {
    missing.push_back(fmt::format("oifname \"{}\"", bridge));
  }
  return missing;
}

bool has_line(std::string_view text, std::string_view line) {
  const auto lines = split(text, '\n');
  return std::ranges::find(lines, line) != lines.end();
}

void warn_of_others(const std::vector<netlink::Chain>& chains, const std::string& bridge) {
  for (const netlink::Chain& chain : chains) {
    const bool is_iptables =
        chain.family == NFPROTO_IPV4 && chain.table == kTable && chain.name == kForward;
    const bool sees_us = chain.family == NFPROTO_IPV4 || chain.family == NFPROTO_INET;
    if (sees_us && !is_iptables && chain.hook == NF_INET_FORWARD &&
        chain.policy == netlink::ChainPolicy::Drop) {
      log::warning(
          "nftables chain {} of table {} drops what it forwards: containers reach only the host "
          "until it accepts iifname and oifname {}",
          quote(chain.name), quote(chain.table), bridge);
    }
  }
  const auto legacy = os::read_file("/proc/net/ip_tables_names");
  if (legacy && has_line(*legacy, kTable)) {
    log::warning(
        "iptables-legacy has a filter table: where its FORWARD chain drops, containers reach only "
        "the host until it accepts -i {} and -o {}",
        bridge, bridge);
  }
}

}  // namespace

Result<bool> forwarding_is_open(netlink::Socket& netfilter, const std::string& bridge) {
  for (const netlink::Chain& chain : BH_TRY(chains_to_open(netfilter))) {
    if (!BH_TRY(missing_rules(netfilter, chain, bridge)).empty()) {
      return false;
    }
  }
  return true;
}

Result<> open_forwarding(netlink::Socket& netfilter, const std::string& bridge) {
  std::string text;
  for (const netlink::Chain& chain : BH_TRY(chains_to_open(netfilter))) {
    for (const std::string& match : BH_TRY(missing_rules(netfilter, chain, bridge))) {
      text += fmt::format("insert rule ip {} {} {} counter accept comment \"{}\"\n", kTable,
                          chain.name, match, kComment);
    }
  }
  if (!text.empty()) {
    BH_TRY(run_nft(text));
  }
  warn_of_others(BH_TRY(netlink::list_chains(netfilter)), bridge);
  return {};
}

Result<bool> others_forward(netlink::Socket& netfilter) {
  const auto chains = BH_TRY(netlink::list_chains(netfilter));
  return std::ranges::any_of(chains, [](const netlink::Chain& chain) {
    const bool sees_ipv4 = chain.family == NFPROTO_IPV4 || chain.family == NFPROTO_INET;
    return sees_ipv4 && chain.table != kComment &&
           (chain.hook == NF_INET_FORWARD || chain.hook == NF_INET_POST_ROUTING);
  });
}

Result<> close_forwarding(netlink::Socket& netfilter, const std::string& bridge) {
  std::string text;
  for (const char* name : {kForward, kDockerUser}) {
    const auto chain = BH_TRY(netlink::find_chain(netfilter, NFPROTO_IPV4, kTable, name));
    if (!chain) {
      continue;
    }
    for (const netlink::ChainRule& rule : BH_TRY(netlink::list_rules(netfilter, *chain))) {
      if (rule.accepted_input == bridge || rule.accepted_output == bridge) {
        text += fmt::format("delete rule ip {} {} handle {}\n", kTable, name, rule.handle);
      }
    }
  }
  return text.empty() ? Result<>() : run_nft(text);
}

}  // namespace bulkhead::network
