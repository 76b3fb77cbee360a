#include "bulkhead/ttrpc/client.h"
