#include "launcher/distributed/network_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <vector>

#include "core/error.h"

namespace tessera {
namespace {

std::string text_of(const sockaddr* address) {
  const socklen_t size = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  char text[NI_MAXHOST] = {};
  if (getnameinfo(address, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return text;
}

/// Numeric addresses that a name stands for, of datagram sockets.
std::set<std::string> addresses_of(const std::string& name) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  std::set<std::string> texts;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return texts;
  for (const addrinfo* one = found; one; one = one->ai_next) texts.insert(text_of(one->ai_addr));
  freeaddrinfo(found);
  return texts;
}

}  // namespace

std::string own_address(const std::string& interface) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0)
    throw RuntimeError("network: expected a list of interfaces, got none from the system.");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> guard(list, freeifaddrs);
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  const std::set<std::string> named = addresses_of(name);
  std::string best;
  std::set<std::string> known;
  int best_score = -1;
  for (const ifaddrs* one = list; one; one = one->ifa_next) {
    if (!one->ifa_addr || !(one->ifa_flags & IFF_UP)) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    known.insert(one->ifa_name);
    const std::string address = text_of(one->ifa_addr);
    if (address.empty() || address.find('%') != std::string::npos) continue;  // of this link only
    if (interface.empty() ? (one->ifa_flags & IFF_LOOPBACK) != 0 : interface != one->ifa_name)
      continue;
    const int score = (named.count(address) ? 2 : 0) + (family == AF_INET ? 1 : 0);
    if (score > best_score) {
      best = address;
      best_score = score;
    }
  }
  if (best_score < 0)
    throw ConfigError("train.distributed.interface: expected an interface with an address, got '" +
                      interface + "'. Interfaces that are up: " +
                      join(std::vector<std::string>(known.begin(), known.end())) + ".");
  return best;
}

std::string address_towards(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host.c_str(), "9", &hints, &found) != 0) return host;
  std::string own = host;
  const int descriptor = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  // Connecting a datagram socket sends nothing: it only picks the route.
  if (descriptor >= 0 && connect(descriptor, found->ai_addr, found->ai_addrlen) == 0 &&
      getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    own = text_of(reinterpret_cast<const sockaddr*>(&address));
  if (descriptor >= 0) close(descriptor);
  freeaddrinfo(found);
  return own;
}

}  // namespace tessera
