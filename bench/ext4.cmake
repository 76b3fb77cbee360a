add_executable(bench_ext4 ext4.cc)
set_target_properties(bench_ext4 PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench" OUTPUT_NAME ext4)
target_link_libraries(bench_ext4 PRIVATE bulkhead::ext4_export bulkhead::ext4_import bulkhead::os bulkhead_host_options)
