foreach(target IN ITEMS registry_challenge registry_hosts)
  bulkhead_add_fuzzer(NAME ${target} SOURCES ${target}_fuzzer.cc PRIVATE bulkhead::registry)
endforeach()
