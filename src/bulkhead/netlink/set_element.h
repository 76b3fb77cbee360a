#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {

/// A named set of an nftables table.
struct NftSet {
  std::uint8_t family = 0;  ///< NFPROTO_BRIDGE, NFPROTO_INET, …
  std::string table;
  std::string name;
};

/// Elements are raw keys, as wide as the set's type; each field of a concatenation is padded to
/// four bytes. An element that is there already, or is not there any more, is fine. Errors:
/// NotFound when the table or the set is not there.
Result<> add_elements(Socket& netfilter, const NftSet& set,
                      const std::vector<std::vector<std::byte>>& keys);
Result<> delete_element(Socket& netfilter, const NftSet& set, Bytes key);

}  // namespace bulkhead::netlink
