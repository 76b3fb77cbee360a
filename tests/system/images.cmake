bulkhead_add_system_test(NAME system_images LABELS system peer TIMEOUT 300
  COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/images_test.sh")
bulkhead_add_system_test(NAME system_images_kill LABELS system peer TIMEOUT 600
  COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/images_kill_test.sh")
bulkhead_add_system_test(NAME system_images_layers LABELS system peer TIMEOUT 600
  COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/../cli/lib/in-own-network" "${CMAKE_CURRENT_SOURCE_DIR}/images_layers_test.sh")
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  bulkhead_add_system_test(NAME system_images_hostile LABELS system TIMEOUT 900
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/images_hostile_test.py")
endif()
