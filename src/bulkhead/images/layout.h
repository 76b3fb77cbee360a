#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"

namespace bulkhead::images {

/// An image of a layout or archive: its name, and what the name stands for.
struct NamedImage {
  oci::Reference reference;
  oci::Descriptor descriptor;
};

/// Checks the file `oci-layout`. Errors: Invalid, Unsupported for another version.
Result<> check_layout(std::string_view oci_layout);

/// The images of an `index.json`. A name that stands for several manifests (one for each platform)
/// is given once, for the one that `platform` selects. `base_name` names what has no name, or only
/// a tag.
/// Source: OCI image specification, image-layout.md; containerd's io.containerd.image.name.
/// Errors: Invalid for names that are none and for an index without images; NotFound when nothing
/// is for the platform.
Result<std::vector<NamedImage>> layout_images(const oci::Index& index, std::string_view base_name,
                                              const oci::Platform& platform);

/// A name for images from a file that does not name them: "/tmp/My App.tar.gz" is "my-app".
std::string base_name_for(std::string_view path);

}  // namespace bulkhead::images
