#include "bulkhead/guest/phases.h"

#include <string>
#include <utility>

#include "bulkhead/os/machine.h"

namespace bulkhead::guest {

void Phases::mark(std::string name) {
  list_.emplace_back(std::move(name), os::nanoseconds_since_boot());
}

}  // namespace bulkhead::guest
