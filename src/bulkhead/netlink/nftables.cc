#include "bulkhead/netlink/nftables.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {
namespace {

std::optional<std::uint32_t> number(const std::vector<Attribute>& attributes, std::uint16_t type) {
  const Attribute* attribute = find(attributes, type);
  const auto value = attribute == nullptr ? std::nullopt : attribute->as<be32>();
  return value ? std::optional(static_cast<std::uint32_t>(*value)) : std::nullopt;
}

std::string text(const std::vector<Attribute>& attributes, std::uint16_t type) {
  const Attribute* attribute = find(attributes, type);
  return attribute == nullptr ? std::string() : std::string(attribute->text());
}

/// The attributes in one; none when it is not there.
Result<std::vector<Attribute>> nested(const std::vector<Attribute>& attributes,
                                      std::uint16_t type) {
  const Attribute* attribute = find(attributes, type);
  return attribute == nullptr ? std::vector<Attribute>() : parse_attributes(attribute->value);
}

/// Reads a rule's expressions one by one, as long as they are those of "accept by interface".
struct AcceptReader {
  std::uint32_t key = 0;  ///< NFT_META_*, until it is compared
  std::string input;
  std::string output;
  bool accepts = false;

  /// False for an expression that makes it another kind of rule.
  Result<bool> read(std::string_view name, const std::vector<Attribute>& data) {
    if (name == "meta") {
      key = number(data, NFTA_META_KEY).value_or(0);
      return key == NFT_META_IIFNAME || key == NFT_META_OIFNAME;
    }
    if (name == "cmp") {
      const auto value = BH_TRY(nested(data, NFTA_CMP_DATA));
      (key == NFT_META_IIFNAME ? input : output) = text(value, NFTA_DATA_VALUE);
      return number(data, NFTA_CMP_OP) == NFT_CMP_EQ;
    }
    if (name == "immediate") {
      const auto value = BH_TRY(nested(data, NFTA_IMMEDIATE_DATA));
      const auto verdict = BH_TRY(nested(value, NFTA_DATA_VERDICT));
      accepts = number(verdict, NFTA_VERDICT_CODE) == NF_ACCEPT;
      return accepts;
    }
    // What iptables makes of a comment is a match that always matches.
    return name == "counter" || (name == "match" && text(data, NFTA_MATCH_NAME) == "comment");
  }
};

Result<> read_acceptance(Bytes expressions, ChainRule& rule) {
  AcceptReader reader;
  for (const Attribute& element : BH_TRY(parse_attributes(expressions))) {
    const auto expression = BH_TRY(parse_attributes(element.value));
    const auto data = BH_TRY(nested(expression, NFTA_EXPR_DATA));
    if (!BH_TRY(reader.read(text(expression, NFTA_EXPR_NAME), data))) {
      return {};
    }
  }
  if (reader.accepts && reader.input.empty() != reader.output.empty()) {
    rule.accepted_input = std::move(reader.input);
    rule.accepted_output = std::move(reader.output);
  }
  return {};
}

}  // namespace

MessageBuilder nft_message(std::uint16_t operation, std::uint16_t flags, std::uint8_t family) {
  MessageBuilder message(static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8U) | operation),
                         flags);
  message.body(nfgenmsg{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0});
  return message;
}

Result<Chain> parse_chain(const Message& message) {
  const auto body = BH_TRY(message.body<nfgenmsg>());
  const auto attributes = BH_TRY(message.attributes(sizeof body));
  Chain chain{.family = body.nfgen_family,
              .table = text(attributes, NFTA_CHAIN_TABLE),
              .name = text(attributes, NFTA_CHAIN_NAME),
              .hook = std::nullopt,
              .policy = std::nullopt};
  chain.hook = number(BH_TRY(nested(attributes, NFTA_CHAIN_HOOK)), NFTA_HOOK_HOOKNUM);
  if (const auto policy = number(attributes, NFTA_CHAIN_POLICY)) {
    chain.policy = *policy == NF_DROP ? ChainPolicy::Drop : ChainPolicy::Accept;
  }
  return chain;
}

Result<ChainRule> parse_rule(const Message& message) {
  const auto attributes = BH_TRY(message.attributes(sizeof(nfgenmsg)));
  ChainRule rule;
  if (const Attribute* handle = find(attributes, NFTA_RULE_HANDLE)) {
    rule.handle = handle->as<be64>().value_or(be64(0));
  }
  if (const Attribute* expressions = find(attributes, NFTA_RULE_EXPRESSIONS)) {
    BH_TRY(read_acceptance(expressions->value, rule));
  }
  return rule;
}

Result<std::vector<Chain>> list_chains(Socket& netfilter) {
  const auto answers = BH_TRY(netfilter.dump(
      nft_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC), "list nftables chains"));
  std::vector<Chain> chains;
  for (const Message& answer : answers) {
    auto chain = BH_TRY(parse_chain(answer));
    chains.push_back(std::move(chain));
  }
  return chains;
}

Result<std::optional<Chain>> find_chain(Socket& netfilter, std::uint8_t family,
                                        std::string_view table, std::string_view chain) {
  MessageBuilder message = nft_message(NFT_MSG_GETCHAIN, 0, family);
  message.text(NFTA_CHAIN_TABLE, table).text(NFTA_CHAIN_NAME, chain);
  const auto answer =
      netfilter.query(std::move(message), "find nftables chain " + std::string(chain));
  if (!answer) {
    if (answer.error().code() == ErrorCode::NotFound) {
      return std::nullopt;
    }
    return answer.error();
  }
  return BH_TRY(parse_chain(*answer));
}

Result<std::vector<ChainRule>> list_rules(Socket& netfilter, const Chain& chain) {
  MessageBuilder message = nft_message(NFT_MSG_GETRULE, NLM_F_DUMP, chain.family);
  message.text(NFTA_RULE_TABLE, chain.table);
  if (!chain.name.empty()) {
    message.text(NFTA_RULE_CHAIN, chain.name);
  }
  const auto answers =
      netfilter.dump(std::move(message), "list rules of " + chain.table + " " + chain.name);
  std::vector<ChainRule> rules;
  if (!answers) {
    if (answers.error().code() == ErrorCode::NotFound) {
      return rules;
    }
    return answers.error();
  }
  for (const Message& answer : *answers) {
    auto rule = BH_TRY(parse_rule(answer));
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace bulkhead::netlink
