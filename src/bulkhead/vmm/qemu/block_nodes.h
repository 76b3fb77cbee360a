#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/json/value.h"
#include "bulkhead/vmm/machine.h"

// The two block nodes behind each disk, as -blockdev and QMP's blockdev-add take them:
// "disk<index>", which the device has, on a node for the file. The format is named, never detected:
// a guest that writes a header of another format into its disk gains nothing. Source: QEMU
// qapi/block-core.json, BlockdevOptions.

namespace bulkhead::vmm::qemu {

/// The file that the machine starts with, and the one that it is exchanged for.
enum class DiskFile : std::uint8_t { First, Exchanged };

/// The number of the descriptor set that the file is in.
std::size_t file_set(std::size_t index, DiskFile which);

std::string file_node_name(std::size_t index, DiskFile which);

json::Value file_node(std::size_t index, DiskFile which, Access access);
json::Value disk_node(std::size_t index, DiskFile which, Access access);

}  // namespace bulkhead::vmm::qemu
