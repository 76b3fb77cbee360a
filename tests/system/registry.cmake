add_executable(registry_tool registry_tool.cc)
set_target_properties(registry_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
target_link_libraries(registry_tool PRIVATE
  bulkhead::registry bulkhead::oci bulkhead::hash bulkhead::os bulkhead_host_options)
bulkhead_add_system_test(NAME system_registry LABELS system peer TIMEOUT 900
  COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/../cli/lib/in-own-network" "${CMAKE_CURRENT_SOURCE_DIR}/registry_test.sh")
