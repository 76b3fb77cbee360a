#include "bulkhead/ttrpc/service.h"
