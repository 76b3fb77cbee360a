#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/socket.h"

// The little of nftables that is asked so often that starting nft(8) for it would be slow. Making
// rules is nft's work. Families are NFPROTO_INET, NFPROTO_IPV4, NFPROTO_BRIDGE, …

namespace bulkhead::netlink {

/// The beginning of a message of nf_tables (NFT_MSG_*).
MessageBuilder nft_message(std::uint16_t operation, std::uint16_t flags, std::uint8_t family);

/// What a base chain does with a packet that no rule decides on.
enum class ChainPolicy : std::uint8_t { Drop, Accept };

struct Chain {
  std::uint8_t family = 0;
  std::string table;
  std::string name;
  std::optional<std::uint32_t> hook;  ///< NF_INET_FORWARD, …; of a base chain
  std::optional<ChainPolicy> policy;  ///< of a base chain
};

/// Of every family.
Result<std::vector<Chain>> list_chains(Socket& netfilter);

/// Nothing when the table or the chain is not there.
Result<std::optional<Chain>> find_chain(Socket& netfilter, std::uint8_t family,
                                        std::string_view table, std::string_view chain);

struct ChainRule {
  std::uint64_t handle = 0;
  /// Of a rule that does nothing but accept what comes in, or goes out, by one interface: its name.
  std::string accepted_input;
  std::string accepted_output;
};

/// Of every chain of the table when the chain has no name. None when the table or the chain is not
/// there.
Result<std::vector<ChainRule>> list_rules(Socket& netfilter, const Chain& chain);

/// Reads an NFT_MSG_NEWCHAIN. Errors: Corrupt.
Result<Chain> parse_chain(const Message& message);

/// Reads an NFT_MSG_NEWRULE. Errors: Corrupt.
Result<ChainRule> parse_rule(const Message& message);

}  // namespace bulkhead::netlink
