#include "bulkhead/ttrpc/status.h"
