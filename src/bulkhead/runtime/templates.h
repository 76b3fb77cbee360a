#pragma once

// Templates: saved machines, booted and ready for a container, that containers start from.
// On disk: docs/formats/templates.md.
//
// A template is made once and never written again. It belongs to the user who made it (0600 in a
// directory of 0700), and holds no container's data: it is saved before its guest has seen one.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/file.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

/// What all machines of a template have in common.
struct TemplateShape {
  std::string text;  ///< vmm::qemu::shape(): equal text, same shape
  std::uint32_t vcpus = 0;
  std::uint64_t memory_bytes = 0;
  bool has_network = false;

  /// A short name for the text: 16 hex digits.
  [[nodiscard]] std::string key() const;
};

struct TemplateRecord {
  std::string key;
  TemplateShape shape;
  WallTime created;
  WallTime last_used;
  std::uint64_t bytes = 0;  ///< on disk, which is also the most that it takes of the page cache
};

/// A template that is being made: the only one of its shape. Unless committed, all of it goes with
/// this object.
class TemplateDraft {
 public:
  TemplateDraft(TemplateDraft&&) noexcept;
  TemplateDraft& operator=(TemplateDraft&&) = delete;
  TemplateDraft(const TemplateDraft&) = delete;
  TemplateDraft& operator=(const TemplateDraft&) = delete;
  ~TemplateDraft();

  /// Descriptors of the two files, for MachineConfig::save_to.
  [[nodiscard]] Result<vmm::SavedState> files() const;

  /// The machine has been saved and has ended: from here on the template is found.
  Result<> commit();

 private:
  friend class Templates;

  TemplateDraft(std::string key, TemplateShape shape, std::string directory, os::FileLock lock)
      : key_(std::move(key)),
        shape_(std::move(shape)),
        directory_(std::move(directory)),
        lock_(std::move(lock)) {}

  std::string key_;
  TemplateShape shape_;
  std::string directory_;  ///< empty: committed
  os::FileLock lock_;
};

class Templates {
 public:
  explicit Templates(const config::Paths& paths)
      : directory_(paths.templates()), marks_(paths.template_marks()) {}

  /// The files of a template for that shape, opened read-only; nothing when there is none. Its
  /// memory is compared with its checksum once per boot of the host. One that is damaged, or
  /// another's, is removed with a warning.
  [[nodiscard]] std::optional<vmm::SavedState> find(const TemplateShape& shape) const;

  /// Nothing when there is one already, or another process is making it.
  [[nodiscard]] Result<std::optional<TemplateDraft>> begin(const TemplateShape& shape) const;

  /// The last used first. What cannot be read is left out.
  [[nodiscard]] Result<std::vector<TemplateRecord>> list() const;

  /// Machines that run from it are not touched. Errors: NotFound.
  [[nodiscard]] Result<> remove(const std::string& key) const;

  /// Drops the template of a shape from which no machine could be restored.
  void drop(const TemplateShape& shape) const;

  /// Removes those unused for longest until the others fit into `budget` bytes, and what makers
  /// that were killed have left.
  [[nodiscard]] Result<> trim(std::uint64_t budget) const;

 private:
  std::string directory_;
  std::string marks_;
};

}  // namespace bulkhead::runtime
