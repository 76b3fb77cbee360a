#include "bulkhead/ttrpc/transport.h"
