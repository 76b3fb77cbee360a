add_executable(ext4_tool ext4_tool.cc)
set_target_properties(ext4_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
target_link_libraries(ext4_tool PRIVATE bulkhead::ext4_import bulkhead::os bulkhead_host_options)
