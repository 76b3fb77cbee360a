# PID 1 in a virtual machine without jail and shim.
add_executable(bulkhead_guest_system_test guest_machine.cc guest_test.cc)
target_link_libraries(bulkhead_guest_system_test PRIVATE
  bulkhead::agent_client bulkhead_host_options GTest::gmock GTest::gtest_main)
set_target_properties(bulkhead_guest_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_dependencies(bulkhead_guest_system_test initramfs)
bulkhead_add_system_test(NAME guest COMMAND bulkhead_guest_system_test TIMEOUT 900)
