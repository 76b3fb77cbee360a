#pragma once

#include "bulkhead/guest/cgroup.h"
#include "bulkhead/os/event_loop.h"

namespace bulkhead::guest {

/// From now on the container gives back what lies unused in its page cache. Loop and cgroup must
/// outlive each other's use: the loop calls for as long as it runs.
void return_page_cache(os::EventLoop& loop, const ContainerCgroup& cgroup);

}  // namespace bulkhead::guest
