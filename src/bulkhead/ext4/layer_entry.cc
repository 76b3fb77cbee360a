#include "bulkhead/ext4/layer_entry.h"

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"

namespace bulkhead::ext4 {

Result<> apply_entry(Formatter& formatter, const LayerEntry& entry) {
  const auto node = [&](NodeType type) {
    return formatter.make_node(entry.path, type, entry.device, entry.attributes, entry.xattrs);
  };
  switch (entry.action) {
    case LayerAction::File:
      return formatter.begin_file(entry.path, entry.attributes, entry.xattrs);
    case LayerAction::Directory:
      return formatter.make_directory(entry.path, entry.attributes, entry.xattrs);
    case LayerAction::Symlink:
      return formatter.make_symlink(entry.path, entry.link, entry.attributes, entry.xattrs);
    case LayerAction::HardLink:
      return formatter.make_hard_link(entry.path, entry.link);
    case LayerAction::CharacterDevice:
      return node(NodeType::CharacterDevice);
    case LayerAction::BlockDevice:
      return node(NodeType::BlockDevice);
    case LayerAction::Fifo:
      return node(NodeType::Fifo);
    case LayerAction::Socket:
      return node(NodeType::Socket);
    case LayerAction::WhiteOut:
      return formatter.white_out(entry.path);
    case LayerAction::WhiteOutChildren:
      return formatter.white_out_children(entry.path);
  }
  return fail(ErrorCode::Internal, "entry {}: unknown type", quote(entry.path));
}

}  // namespace bulkhead::ext4
