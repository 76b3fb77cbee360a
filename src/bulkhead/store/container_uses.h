#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::store {

/// A container that stands on an image. Read from its record, containers/<id>/container.json, which
/// the runtime writes; of its members these are read here:
///   "name"      what people call it
///   "image_id"  digest of the image's config
///   "root"      path of the base image it boots from
struct ContainerUse {
  std::string id;
  std::string name;
  std::string image_id;
  std::string root;

  /// The name, or the beginning of the id.
  [[nodiscard]] std::string label() const;
};

/// All containers that have a record. A directory without one is a container in the making, whose
/// maker holds the content lock.
/// Errors: Corrupt when a record cannot be read: then nothing may be removed, for want of knowing.
Result<std::vector<ContainerUse>> container_uses(const std::string& containers_directory);

}  // namespace bulkhead::store
