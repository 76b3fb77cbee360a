#include "bulkhead/vmm/qemu/block_nodes.h"

#include <cstddef>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/json/value.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {
namespace {

json::Value node(const char* driver, std::string name, Access access) {
  const bool is_read_only = access == Access::ReadOnly;
  json::Value value;
  value.set("driver", driver);
  value.set("node-name", std::move(name));
  value.set("read-only", is_read_only);
  value.set("auto-read-only", false);
  value.set("discard", is_read_only ? "ignore" : "unmap");
  return value;
}

}  // namespace

std::size_t file_set(std::size_t index, DiskFile which) {
  return index + 1 + (which == DiskFile::First ? 0 : kMostDisks + kMostDataDisks);
}

std::string file_node_name(std::size_t index, DiskFile which) {
  return fmt::format("{}{}", which == DiskFile::First ? "file" : "exchanged", index);
}

json::Value file_node(std::size_t index, DiskFile which, Access access) {
  json::Value value = node("file", file_node_name(index, which), access);
  value.set("filename", fmt::format("/dev/fdset/{}", file_set(index, which)));
  // A descriptor; the owner of the store sees to it that nobody else writes the file.
  value.set("locking", "off");
  value.set("aio", "threads");
  return value;
}

json::Value disk_node(std::size_t index, DiskFile which, Access access) {
  json::Value value = node("raw", fmt::format("disk{}", index), access);
  value.set("file", file_node_name(index, which));
  return value;
}

}  // namespace bulkhead::vmm::qemu
