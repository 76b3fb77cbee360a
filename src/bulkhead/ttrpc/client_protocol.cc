#include "bulkhead/ttrpc/client_protocol.h"
