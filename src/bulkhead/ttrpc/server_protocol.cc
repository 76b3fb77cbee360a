#include "bulkhead/ttrpc/server_protocol.h"
