// protoc-gen-ttrpc: for every service of a .proto file a class to implement and a class to call,
// in <file>.ttrpc.h and <file>.ttrpc.cc, over the module ttrpc. Messages are protobuf's own output.
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <google/protobuf/compiler/code_generator.h>
#include <google/protobuf/compiler/plugin.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/printer.h>
#include <google/protobuf/io/zero_copy_stream.h>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using google::protobuf::io::Printer;

using Variables = std::map<std::string, std::string>;

bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }

char to_lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

/// "ResizePty" → "resize_pty", "CloseIO" → "close_io".
std::string snake_case(const std::string& name) {
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool starts_word =
        i > 0 && is_upper(name[i]) &&
        (!is_upper(name[i - 1]) || (i + 1 < name.size() && !is_upper(name[i + 1])));
    if (starts_word) {
      result += '_';
    }
    result += to_lower(name[i]);
  }
  return result;
}

/// The method's name in C++; keywords and names the classes have already get an underscore.
std::string function_name(const MethodDescriptor& method) {
  static const std::set<std::string> kTaken = {
      "auto",     "break",    "case",   "catch",    "class",    "const",    "continue",  "default",
      "delete",   "do",       "else",   "enum",     "explicit", "export",   "extern",    "false",
      "for",      "friend",   "goto",   "if",       "import",   "inline",   "methods",   "mutable",
      "name",     "new",      "not",    "operator", "or",       "private",  "protected", "public",
      "register", "return",   "signed", "static",   "struct",   "switch",   "template",  "this",
      "throw",    "true",     "try",    "typename", "union",    "unsigned", "using",     "virtual",
      "void",     "volatile", "while",  "xor"};
  const std::string name = snake_case(method.name());
  return kTaken.contains(name) ? name + "_" : name;
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string message_type(const Descriptor& message) {
  std::string name = message.name();
  for (const Descriptor* outer = message.containing_type(); outer != nullptr;
       outer = outer->containing_type()) {
    name = outer->name() + "_" + name;
  }
  const std::string& package = message.file()->package();
  return "::" + (package.empty() ? "" : replace_all(package, ".", "::") + "::") + name;
}

std::string stem(const FileDescriptor& file) {
  const std::string& name = file.name();
  return name.substr(0, name.size() - std::string(".proto").size());
}

Variables service_variables(const ServiceDescriptor& service) {
  return {{"class", service.name()}, {"full_name", service.full_name()}};
}

Variables method_variables(const MethodDescriptor& method) {
  const std::string in = message_type(*method.input_type());
  const std::string out = message_type(*method.output_type());
  Variables variables = {{"class", method.service()->name()},
                         {"full_name", method.service()->full_name()},
                         {"method", method.name()},
                         {"function", function_name(method)},
                         {"in", in},
                         {"out", out}};
  if (method.client_streaming() && method.server_streaming()) {
    variables["kind"] = "Bidirectional";
    variables["handle"] = "::bulkhead::ttrpc::ServerStream<" + in + ", " + out + ">";
  } else if (method.client_streaming()) {
    variables["kind"] = "ClientStreaming";
    variables["handle"] = "::bulkhead::ttrpc::ServerReader<" + in + ", " + out + ">";
  } else if (method.server_streaming()) {
    variables["kind"] = "ServerStreaming";
    variables["handle"] = "::bulkhead::ttrpc::ServerWriter<" + out + ">";
  } else {
    variables["kind"] = "Unary";
    variables["handle"] = "::bulkhead::ttrpc::Responder<" + out + ">";
  }
  return variables;
}

void print_comments(const MethodDescriptor& method, Printer& printer) {
  google::protobuf::SourceLocation location;
  if (!method.GetSourceLocation(&location) || location.leading_comments.empty()) {
    return;
  }
  std::string line;
  for (const char c : location.leading_comments) {
    if (c == '\n') {
      printer.PrintRaw("  ///" + line + "\n");
      line.clear();
    } else {
      line += c;
    }
  }
}

void print_service_class(const ServiceDescriptor& service, Printer& printer) {
  printer.Print(
      service_variables(service),
      "/// Implement what is served; the rest is answered Unimplemented.\n"
      "class $class$Service : public ::bulkhead::ttrpc::Service {\n"
      " public:\n"
      "  static constexpr std::string_view kName = \"$full_name$\";\n\n"
      "  [[nodiscard]] std::string_view name() const final { return kName; }\n"
      "  [[nodiscard]] std::span<const ::bulkhead::ttrpc::Method> methods() const final;\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    printer.Print("\n");
    print_comments(method, printer);
    if (method.client_streaming()) {
      printer.Print(method_variables(method), "  virtual void $function$($handle$ call);\n");
    } else {
      printer.Print(method_variables(method),
                    "  virtual void $function$($in$ request, $handle$ respond);\n");
    }
  }
  printer.Print("};\n\n");
}

void print_client_method(const MethodDescriptor& method, Printer& printer) {
  const Variables variables = method_variables(method);
  printer.Print("\n");
  print_comments(method, printer);
  if (method.client_streaming() && method.server_streaming()) {
    printer.Print(variables,
                  "  ::bulkhead::ttrpc::ClientStream<$in$> $function$("
                  "::bulkhead::ttrpc::CallOptions options, "
                  "::bulkhead::ttrpc::StreamCallbacks<$out$> callbacks);\n");
  } else if (method.client_streaming()) {
    printer.Print(variables,
                  "  ::bulkhead::ttrpc::ClientStream<$in$> $function$("
                  "::bulkhead::ttrpc::CallOptions options, "
                  "std::move_only_function<void(::bulkhead::Result<$out$>)> done);\n");
  } else if (method.server_streaming()) {
    printer.Print(variables,
                  "  ::bulkhead::ttrpc::ClientStreamHandle $function$(const $in$& request, "
                  "::bulkhead::ttrpc::CallOptions options, "
                  "::bulkhead::ttrpc::StreamCallbacks<$out$> callbacks);\n");
  } else {
    printer.Print(variables,
                  "  void $function$(const $in$& request, ::bulkhead::ttrpc::CallOptions options, "
                  "std::move_only_function<void(::bulkhead::Result<$out$>)> done);\n"
                  "  /// Runs the loop until the answer is there: Client::call_and_wait().\n"
                  "  ::bulkhead::Result<$out$> $function$_and_wait(const $in$& request, "
                  "::bulkhead::ttrpc::CallOptions options = {});\n");
  }
}

void print_client_class(const ServiceDescriptor& service, Printer& printer) {
  printer.Print(service_variables(service),
                "/// Calls the service over a connection, which must outlive this object.\n"
                "class $class$Client {\n"
                " public:\n"
                "  /// `service`: another name that the same service is served under.\n"
                "  explicit $class$Client(::bulkhead::ttrpc::Client& client,\n"
                "      std::string service = \"$full_name$\")\n"
                "      : client_(client), service_(std::move(service)) {}\n");
  for (int i = 0; i < service.method_count(); ++i) {
    print_client_method(*service.method(i), printer);
  }
  printer.Print(
      "\n private:\n"
      "  ::bulkhead::ttrpc::Client& client_;\n"
      "  std::string service_;\n"
      "};\n\n");
}

void print_service_methods(const ServiceDescriptor& service, Printer& printer) {
  const Variables variables = service_variables(service);
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    if (method.client_streaming()) {
      printer.Print(method_variables(method), "void $class$Service::$function$($handle$ call) {\n");
    } else {
      printer.Print(method_variables(method),
                    "void $class$Service::$function$($in$, $handle$ call) {\n");
    }
    const bool finishes = method.server_streaming();
    printer.Print("  call$how$(::bulkhead::ttrpc::unimplemented(call.context()));\n}\n\n", "how",
                  finishes ? ".finish" : "");
  }
  printer.Print(variables,
                "std::span<const ::bulkhead::ttrpc::Method> $class$Service::methods() const {\n"
                "  using ::bulkhead::ttrpc::Method;\n"
                "  static constexpr Method kMethods[] = {\n");
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    printer.Print(
        method_variables(method),
        "      {\"$method$\", Method::Kind::$kind$,\n"
        "       [](::bulkhead::ttrpc::Service& service, ::bulkhead::ttrpc::IncomingCall call) {\n");
    if (method.client_streaming()) {
      printer.Print(method_variables(method),
                    "         static_cast<$class$Service&>(service).$function$("
                    "$handle$(std::move(call)));\n");
    } else {
      printer.Print(
          method_variables(method),
          "         ::bulkhead::ttrpc::serve_request<$in$, $handle$>(\n"
          "             static_cast<$class$Service&>(service), &$class$Service::$function$, "
          "std::move(call));\n");
    }
    printer.Print("       }},\n");
  }
  printer.Print("  };\n  return kMethods;\n}\n\n");
}

void print_client_definition(const MethodDescriptor& method, Printer& printer) {
  const Variables variables = method_variables(method);
  if (method.client_streaming() && method.server_streaming()) {
    printer.Print(variables,
                  "::bulkhead::ttrpc::ClientStream<$in$> $class$Client::$function$("
                  "::bulkhead::ttrpc::CallOptions options, "
                  "::bulkhead::ttrpc::StreamCallbacks<$out$> callbacks) {\n"
                  "  return ::bulkhead::ttrpc::ClientStream<$in$>(client_.open_stream(service_, "
                  "\"$method$\", std::nullopt, std::move(options), "
                  "::bulkhead::ttrpc::parse_stream<$out$>(std::move(callbacks))));\n}\n\n");
  } else if (method.client_streaming()) {
    printer.Print(
        variables,
        "::bulkhead::ttrpc::ClientStream<$in$> $class$Client::$function$("
        "::bulkhead::ttrpc::CallOptions options, "
        "std::move_only_function<void(::bulkhead::Result<$out$>)> done) {\n"
        "  return ::bulkhead::ttrpc::ClientStream<$in$>(client_.open_upload<$out$>(service_, "
        "\"$method$\", std::move(options), std::move(done)));\n}\n\n");
  } else if (method.server_streaming()) {
    printer.Print(
        variables,
        "::bulkhead::ttrpc::ClientStreamHandle $class$Client::$function$(const $in$& request, "
        "::bulkhead::ttrpc::CallOptions options, "
        "::bulkhead::ttrpc::StreamCallbacks<$out$> callbacks) {\n"
        "  return client_.open_stream(service_, \"$method$\", "
        "::bulkhead::ttrpc::serialize(request), std::move(options), "
        "::bulkhead::ttrpc::parse_stream<$out$>(std::move(callbacks)));\n}\n\n");
  } else {
    printer.Print(
        variables,
        "void $class$Client::$function$(const $in$& request, "
        "::bulkhead::ttrpc::CallOptions options, "
        "std::move_only_function<void(::bulkhead::Result<$out$>)> done) {\n"
        "  client_.call<$out$>(service_, \"$method$\", request, std::move(options), "
        "std::move(done));\n}\n\n"
        "::bulkhead::Result<$out$> $class$Client::$function$_and_wait(const $in$& request, "
        "::bulkhead::ttrpc::CallOptions options) {\n"
        "  return client_.call_and_wait<$out$>(service_, \"$method$\", request, "
        "std::move(options));\n}\n\n");
  }
}

class Generator : public google::protobuf::compiler::CodeGenerator {
 public:
  [[nodiscard]] std::uint64_t GetSupportedFeatures() const override {
    return FEATURE_PROTO3_OPTIONAL;
  }

  bool Generate(const FileDescriptor* file, const std::string& /*parameter*/,
                google::protobuf::compiler::GeneratorContext* context,
                std::string* /*error*/) const override {
    print_header(*file, *context);
    print_source(*file, *context);
    return true;
  }

 private:
  using Context = google::protobuf::compiler::GeneratorContext;

  static std::string cpp_namespace(const FileDescriptor& file) {
    return replace_all(file.package(), ".", "::");
  }

  static void print_header(const FileDescriptor& file, Context& context) {
    const std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> output(
        context.Open(stem(file) + ".ttrpc.h"));
    Printer printer(output.get(), '$');
    printer.Print("// Generated by protoc-gen-ttrpc from $file$.\n#pragma once\n\n", "file",
                  file.name());
    printer.Print(
        "#include <functional>\n#include <span>\n#include <string>\n#include <string_view>\n"
        "#include <utility>\n\n");
    printer.Print("#include \"$stem$.pb.h\"\n", "stem", stem(file));
    for (int i = 0; i < file.dependency_count(); ++i) {
      printer.Print("#include \"$stem$.pb.h\"\n", "stem", stem(*file.dependency(i)));
    }
    printer.Print(
        "#include \"bulkhead/base/result.h\"\n#include \"bulkhead/ttrpc/call.h\"\n"
        "#include \"bulkhead/ttrpc/client.h\"\n"
        "#include \"bulkhead/ttrpc/service.h\"\n\nnamespace $namespace$ {\n\n",
        "namespace", cpp_namespace(file));
    for (int i = 0; i < file.service_count(); ++i) {
      print_service_class(*file.service(i), printer);
      print_client_class(*file.service(i), printer);
    }
    printer.Print("}  // namespace $namespace$\n", "namespace", cpp_namespace(file));
  }

  static void print_source(const FileDescriptor& file, Context& context) {
    const std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> output(
        context.Open(stem(file) + ".ttrpc.cc"));
    Printer printer(output.get(), '$');
    printer.Print(
        "// Generated by protoc-gen-ttrpc from $file$.\n#include \"$stem$.ttrpc.h\"\n\n"
        "#include <optional>\n\nnamespace $namespace$ {\n\n",
        "file", file.name(), "stem", stem(file), "namespace", cpp_namespace(file));
    for (int i = 0; i < file.service_count(); ++i) {
      print_service_methods(*file.service(i), printer);
      for (int m = 0; m < file.service(i)->method_count(); ++m) {
        print_client_definition(*file.service(i)->method(m), printer);
      }
    }
    printer.Print("}  // namespace $namespace$\n", "namespace", cpp_namespace(file));
  }
};

}  // namespace

int main(int argc, char** argv) {
  const Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
