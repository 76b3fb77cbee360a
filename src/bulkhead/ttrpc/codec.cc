#include "bulkhead/ttrpc/codec.h"

#include <string>

#include <google/protobuf/message_lite.h>

#include "bulkhead/base/bytes.h"

namespace bulkhead::ttrpc {

std::string serialize(const google::protobuf::MessageLite& message) {
  return message.SerializeAsString();
}

bool parse(google::protobuf::MessageLite& message, Bytes bytes) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace bulkhead::ttrpc
