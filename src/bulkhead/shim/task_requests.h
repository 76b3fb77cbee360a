#pragma once

// Requests of the Task service for tests, as the command line makes them.

#include <string>

#include "bulkhead/runtime/container_record.h"
#include "bulkhead/v1/options.pb.h"

#include "containerd/task/v2/task.pb.h"

namespace bulkhead::shim {

inline containerd::task::v2::CreateTaskRequest create_request(
    const runtime::ContainerRecord& record, const std::string& bundle) {
  containerd::task::v2::CreateTaskRequest request;
  request.set_id(record.id);
  request.set_bundle(bundle);
  auto* root = request.add_rootfs();
  root->set_type("bulkhead/ext4");
  root->set_source(record.root);
  v1::CreateOptions options;
  record.options.to_proto(options);
  request.mutable_options()->set_type_url("bulkhead.v1.CreateOptions");
  request.mutable_options()->set_value(options.SerializeAsString());
  return request;
}

/// Of whichever kind: about the container's first process, or the one of `exec_id`.
template <class Request>
Request request_of(const std::string& container, const std::string& exec_id) {
  Request request;
  request.set_id(container);
  if constexpr (requires { request.set_exec_id(exec_id); }) {
    request.set_exec_id(exec_id);
  }
  return request;
}

}  // namespace bulkhead::shim
