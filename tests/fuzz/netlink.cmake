bulkhead_add_fuzzer(NAME netlink_message SOURCES netlink_message_fuzzer.cc PRIVATE bulkhead::netlink)
