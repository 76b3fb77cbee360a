foreach(target IN ITEMS oci_reference oci_document oci_config oci_spec)
  bulkhead_add_fuzzer(NAME ${target} SOURCES ${target}_fuzzer.cc PRIVATE bulkhead::oci)
endforeach()
