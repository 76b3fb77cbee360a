#pragma once

#include <cstdint>
#include <string>

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

// Elements are raw keys, as wide as the set's type; each field of a concatenation is padded to four
// bytes. Errors: NotFound when the table or the set is not there.

/// Adds an element; false when it is there already. Of several processes that add the same one, one
/// gets true.
Result<bool> add_element(Socket& netfilter, const NftSet& set, Bytes key);

/// An element that is not there (any more) is fine.
Result<> delete_element(Socket& netfilter, const NftSet& set, Bytes key);

}  // namespace bulkhead::netlink
