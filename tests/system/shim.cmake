add_executable(bulkhead_shim_system_test shim_test.cc)
target_link_libraries(bulkhead_shim_system_test PRIVATE
  bulkhead::runtime bulkhead::task_proto bulkhead::options_proto bulkhead_host_options
  GTest::gmock GTest::gtest_main)
target_compile_definitions(bulkhead_shim_system_test PRIVATE
  BULKHEAD_SCRIPTS="${PROJECT_SOURCE_DIR}/scripts")
set_target_properties(bulkhead_shim_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_dependencies(bulkhead_shim_system_test containerd-shim-bulkhead-v2 bulkhead-image bulkhead-jail
  bulkhead-kvm-probe initramfs)
bulkhead_add_system_test(NAME shim
  COMMAND "${PROJECT_SOURCE_DIR}/tests/cli/lib/in-own-network" $<TARGET_FILE:bulkhead_shim_system_test>
  TIMEOUT 600)

# What containerd makes of it: a root of its own kind is refused in plain words.
bulkhead_add_system_test(NAME shim_containerd
  COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/shim_containerd_test.sh"
  LABELS system peer TIMEOUT 120)
