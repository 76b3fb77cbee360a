#include "bulkhead/ttrpc/server.h"
