bulkhead_add_system_test(NAME system_registry LABELS system peer TIMEOUT 300
  COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/../cli/lib/in-own-network" "${CMAKE_CURRENT_SOURCE_DIR}/registry_test.sh")
