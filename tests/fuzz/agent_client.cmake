bulkhead_add_fuzzer(NAME agent_answers SOURCES agent_answers_fuzzer.cc
  PRIVATE bulkhead::agent_client)
