#include "bulkhead/ttrpc/codec.h"
