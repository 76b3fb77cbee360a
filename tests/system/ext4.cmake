add_executable(ext4_tool ext4_tool.cc)
set_target_properties(ext4_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
target_link_libraries(ext4_tool PRIVATE bulkhead::ext4_export bulkhead::ext4_import bulkhead::os bulkhead_host_options)

add_executable(ext4_edit_tool ext4_edit_tool.cc)
set_target_properties(ext4_edit_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
target_link_libraries(ext4_edit_tool PRIVATE bulkhead::ext4 bulkhead::os bulkhead_host_options)

# The image files need neither root nor a virtual machine; the kernel's view is compared where loop
# mounts work. Without Python there is no tree generator.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  bulkhead_add_system_test(NAME ext4_oracle
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_oracle.py" $<TARGET_FILE:ext4_tool>
    LABELS unit TIMEOUT 900)
  # scripts/test makes the tar.
  bulkhead_add_system_test(NAME ext4_debian
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_oracle.py" $<TARGET_FILE:ext4_tool>
            --debian "${PROJECT_SOURCE_DIR}/build/debian.tar"
    TIMEOUT 600)
  bulkhead_add_system_test(NAME ext4_oracle_long
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_oracle.py" $<TARGET_FILE:ext4_tool>
            --only-random --long --seed 1000 --trees 2000
    LABELS soak TIMEOUT 10800)
  bulkhead_add_system_test(NAME ext4_reader_oracle
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_reader_oracle.py" $<TARGET_FILE:ext4_tool>
    LABELS unit TIMEOUT 900)
  bulkhead_add_system_test(NAME ext4_directory_oracle
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_directory_oracle.py" $<TARGET_FILE:ext4_tool>
    LABELS unit TIMEOUT 600)
  bulkhead_add_system_test(NAME ext4_edit_oracle
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_edit_oracle.py" $<TARGET_FILE:ext4_tool>
            $<TARGET_FILE:ext4_edit_tool>
    LABELS unit TIMEOUT 300)
  bulkhead_add_system_test(NAME ext4_resize
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_resize_test.py" $<TARGET_FILE:ext4_tool>
    LABELS unit TIMEOUT 300)
  add_dependencies(bulkhead_unit_tests ext4_tool ext4_edit_tool)

  # A kernel that enlarges what it has mounted.
  add_executable(ext4-grow-init ext4_grow_init.cc)
  target_link_libraries(ext4-grow-init PRIVATE bulkhead_guest_options)
  set_target_properties(ext4-grow-init PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  add_custom_command(
    OUTPUT "${PROJECT_BINARY_DIR}/tests/ext4-grow-init.cpio"
    COMMAND "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs" $<TARGET_FILE:ext4-grow-init>
            "${PROJECT_BINARY_DIR}/tests/ext4-grow-init.cpio"
    DEPENDS ext4-grow-init "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs"
    VERBATIM)
  add_custom_target(ext4-grow-init-cpio ALL DEPENDS "${PROJECT_BINARY_DIR}/tests/ext4-grow-init.cpio")
  bulkhead_add_system_test(NAME ext4_grow
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/ext4_resize_test.py" $<TARGET_FILE:ext4_tool>
            --guest "${PROJECT_BINARY_DIR}/tests/ext4-grow-init.cpio"
    TIMEOUT 600)
endif()
