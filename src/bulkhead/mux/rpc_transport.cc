#include "bulkhead/mux/rpc_transport.h"
