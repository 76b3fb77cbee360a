#include "bulkhead/ttrpc/frame.h"
