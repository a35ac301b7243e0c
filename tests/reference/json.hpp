#pragma once

#include <charconv>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace robocache::reference {

/// A JSON value. Numbers keep their text, so that an int64 stamp is not rounded by a double. Non-finite numbers are the
/// strings "nan", "inf" and "-inf". No escapes in strings: the case tables have none.
class Json {
 public:
  using List = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  static Json read_file(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::ostringstream text;
    text << file.rdbuf();
    const std::string all = text.str();
    std::string_view rest = all;
    Json json = parse(rest);
    skip_space(rest);
    if (!rest.empty()) throw std::runtime_error(path + ": text after the end");
    return json;
  }

  [[nodiscard]] bool is_list() const { return std::holds_alternative<List>(value_); }
  [[nodiscard]] bool is_text() const { return std::holds_alternative<Text>(value_); }
  [[nodiscard]] const List& list() const { return std::get<List>(value_); }
  [[nodiscard]] const std::string& text() const { return std::get<Text>(value_).text; }
  [[nodiscard]] bool has(std::string_view key) const { return std::get<Object>(value_).contains(key); }

  [[nodiscard]] const Json& operator[](std::string_view key) const {
    const auto& object = std::get<Object>(value_);
    const auto found = object.find(key);
    if (found == object.end()) throw std::runtime_error("json: no " + std::string(key));
    return found->second;
  }
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view other) const {
    return has(key) ? (*this)[key].text() : std::string(other);
  }
  [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t other) const {
    return has(key) ? (*this)[key].integer() : other;
  }

  /// Any number, or the text of a non-finite one, to 64 bits of mantissa.
  [[nodiscard]] long double real() const {
    if (is_text()) {
      if (text() == "nan") return std::numeric_limits<long double>::quiet_NaN();
      if (text() == "inf" || text() == "-inf") {
        const long double inf = std::numeric_limits<long double>::infinity();
        return text() == "inf" ? inf : -inf;
      }
      throw std::runtime_error("json: '" + text() + "' is no number");
    }
    return std::stold(number());
  }
  [[nodiscard]] double float64() const { return is_text() ? static_cast<double>(real()) : std::stod(number()); }
  [[nodiscard]] std::int64_t integer() const {
    std::int64_t whole = 0;
    const std::string& digits = number();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (error != std::errc{} || end != digits.data() + digits.size()) {
      throw std::runtime_error("json: " + digits + " is no int64");
    }
    return whole;
  }
  [[nodiscard]] bool boolean() const { return number() == "true" || number() == "1"; }

 private:
  struct Text {
    std::string text;
  };
  struct Number {
    std::string digits;
  };

  [[nodiscard]] const std::string& number() const { return std::get<Number>(value_).digits; }

  static void skip_space(std::string_view& rest) {
    const auto start = rest.find_first_not_of(" \t\r\n");
    rest.remove_prefix(start == std::string_view::npos ? rest.size() : start);
  }

  static char peek(std::string_view& rest) {
    skip_space(rest);
    if (rest.empty()) throw std::runtime_error("json: unexpected end");
    return rest.front();
  }

  static void expect(std::string_view& rest, char c) {
    if (peek(rest) != c)
      throw std::runtime_error("json: expected '" + std::string(1, c) + "' before '" + std::string(rest.substr(0, 20)) +
                               "'");
    rest.remove_prefix(1);
  }

  static std::string parse_text(std::string_view& rest) {
    expect(rest, '"');
    const auto end = rest.find('"');
    if (end == std::string_view::npos) throw std::runtime_error("json: a string has no end");
    std::string text(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    return text;
  }

  static Json parse(std::string_view& rest) {
    Json json;
    const char c = peek(rest);
    if (c == '"') {
      json.value_ = Text{parse_text(rest)};
    } else if (c == '[') {
      List list;
      for (rest.remove_prefix(1); peek(rest) != ']';) {
        if (!list.empty()) expect(rest, ',');
        list.push_back(parse(rest));
      }
      rest.remove_prefix(1);
      json.value_ = std::move(list);
    } else if (c == '{') {
      Object object;
      for (rest.remove_prefix(1); peek(rest) != '}';) {
        if (!object.empty()) expect(rest, ',');
        skip_space(rest);
        std::string key = parse_text(rest);
        expect(rest, ':');
        object.emplace(std::move(key), parse(rest));
      }
      rest.remove_prefix(1);
      json.value_ = std::move(object);
    } else {
      const auto end = rest.find_first_of(",]} \t\r\n");
      json.value_ = Number{std::string(rest.substr(0, end))};
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
    }
    return json;
  }

  std::variant<Number, Text, List, Object> value_;
};

}  // namespace robocache::reference
