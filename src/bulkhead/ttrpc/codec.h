#pragma once

#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace google::protobuf {
class MessageLite;
}

namespace bulkhead::ttrpc {

std::string serialize(const google::protobuf::MessageLite& message);

bool parse(google::protobuf::MessageLite& message, Bytes bytes);

template <class Message>
Result<Message> parse_result(Result<std::string> payload) {
  if (!payload) {
    return std::move(payload).error();
  }
  Message message;
  if (!parse(message, as_bytes(*payload))) {
    return Error(ErrorCode::Corrupt, "response: not a valid message");
  }
  return message;
}

}  // namespace bulkhead::ttrpc
