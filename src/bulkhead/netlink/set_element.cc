#include "bulkhead/netlink/set_element.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/netlink/message.h"
#include "bulkhead/netlink/nftables.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::netlink {
namespace {

MessageBuilder element_message(std::uint16_t operation, std::uint16_t flags, const NftSet& set,
                               Bytes key) {
  MessageBuilder message = nft_message(operation, flags, set.family);
  message.text(NFTA_SET_ELEM_LIST_TABLE, set.table)
      .text(NFTA_SET_ELEM_LIST_SET, set.name)
      .nested(NFTA_SET_ELEM_LIST_ELEMENTS, [&](MessageBuilder& list) {
        list.nested(NFTA_LIST_ELEM, [&](MessageBuilder& element) {
          element.nested(NFTA_SET_ELEM_KEY,
                         [&](MessageBuilder& data) { data.attribute(NFTA_DATA_VALUE, key); });
        });
      });
  return message;
}

}  // namespace

Result<bool> add_element(Socket& netfilter, const NftSet& set, Bytes key) {
  std::vector<MessageBuilder> messages;
  messages.push_back(element_message(NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, set, key));
  auto result =
      netfilter.batch(std::move(messages), NFNL_SUBSYS_NFTABLES, "add to nftables set " + set.name);
  if (!result && result.error().code() == ErrorCode::AlreadyExists) {
    return false;
  }
  BH_TRY(std::move(result));
  return true;
}

Result<> delete_element(Socket& netfilter, const NftSet& set, Bytes key) {
  std::vector<MessageBuilder> messages;
  messages.push_back(element_message(NFT_MSG_DELSETELEM, 0, set, key));
  auto result = netfilter.batch(std::move(messages), NFNL_SUBSYS_NFTABLES,
                                "delete from nftables set " + set.name);
  if (!result && result.error().os_error() == ENOENT) {
    return {};
  }
  return result;
}

}  // namespace bulkhead::netlink
