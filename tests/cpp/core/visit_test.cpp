#include "core/visit.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "robocache/dtype.hpp"

namespace robocache {
namespace {

using List = Values<DType::f64, DType::i32, DType::boolean>;

TEST(Visit, CallsWithTheValueAsTemplateArgument) {
  DType seen = DType::u8;
  int calls = 0;
  visit(DType::i32, List{}, [&]<DType value>() {
    static_assert(contains(List{}, value));
    seen = value;
    ++calls;
  });
  EXPECT_EQ(seen, DType::i32);
  EXPECT_EQ(calls, 1);
}

TEST(Visit, UncheckedValueIsALogicError) {
  EXPECT_THROW(visit(DType::u8, List{}, []<DType>() {}), std::logic_error);
}

TEST(Visit, Contains) {
  EXPECT_TRUE(contains(List{}, DType::f64));
  EXPECT_TRUE(contains(List{}, DType::boolean));
  EXPECT_FALSE(contains(List{}, DType::f32));
}

}  // namespace
}  // namespace robocache
