# The escape drill: a static program in place of the virtual machine's.
add_executable(jail-drill jail_drill.cc)
target_link_libraries(jail-drill PRIVATE bulkhead_guest_options)
set_target_properties(jail-drill PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")

add_executable(bulkhead_jail_system_test jail_test.cc)
target_link_libraries(bulkhead_jail_system_test PRIVATE
  bulkhead::jail bulkhead_host_options GTest::gmock GTest::gtest_main)
set_target_properties(bulkhead_jail_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_dependencies(bulkhead_jail_system_test jail-drill bulkhead-jail)
bulkhead_add_system_test(NAME jail COMMAND bulkhead_jail_system_test TIMEOUT 120)
