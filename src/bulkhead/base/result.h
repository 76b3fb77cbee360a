#pragma once

#include <concepts>
#include <expected>
#include <string_view>
#include <utility>

#include "bulkhead/base/error.h"

namespace bulkhead {

/// A value or an Error. Every function that can fail returns one.
/// A class of its own because GCC 12's std::expected is not nodiscard.
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
  using Base = std::expected<T, Error>;

 public:
  using Base::Base;

  // NOLINTNEXTLINE(google-explicit-constructor): an error is a result
  Result(Error error) : Base(std::unexpect, std::move(error)) {}

  /// The same result; an error gets "outer: " before its message.
  Result context(std::string_view outer) && {
    if (!this->has_value()) {
      return std::move(this->error()).context(outer);
    }
    return std::move(*this);
  }

  /// The same result; an error gets the name of what it is about, quoted, before its message.
  Result about(std::string_view name) && {
    if (!this->has_value()) {
      return std::move(this->error()).about(name);
    }
    return std::move(*this);
  }
};

}  // namespace bulkhead

/// The value of a Result, or a return of its error from the enclosing function.
/// Never inside the braces of an aggregate or an initializer list, nor in a new-expression: GCC 12
/// then leaks what was already built (members, elements, the memory); name the value first.
#define BH_TRY(expr)                                                                               \
  __extension__({                                                                                  \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") auto&& bh_try_ = \
        (expr);                                                                                    \
    _Pragma("GCC diagnostic pop") static_assert(!std::is_lvalue_reference_v<decltype(bh_try_)>,    \
                                                "BH_TRY consumes its argument: std::move it");     \
    if (!bh_try_.has_value()) [[unlikely]] {                                                       \
      return std::move(bh_try_).error();                                                           \
    }                                                                                              \
    *std::move(bh_try_);                                                                           \
  })
