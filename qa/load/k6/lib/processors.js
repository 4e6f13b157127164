// The admin API of the two providers. Each function returns requests for http.batch(), so that both
// providers change or answer at the same time.

import { PROCESSOR_URLS, TOKEN } from './config.js';

export const PROCESSORS = ['default', 'fallback'];

const HEADERS = { 'Content-Type': 'application/json', 'X-Rinha-Token': TOKEN };

// `weather` is the behaviour of each provider: {default: [delay in ms, failing], …}.
export function weatherRequests(weather) {
  return PROCESSORS.flatMap((name) => {
    const [delay, failure] = weather[name];
    return [
      request('PUT', name, '/admin/configurations/delay', { delay }),
      request('PUT', name, '/admin/configurations/failure', { failure }),
    ];
  });
}

export function purgeRequests() {
  return PROCESSORS.map((name) => request('POST', name, '/admin/purge-payments'));
}

export function summaryRequests(query, timeout) {
  return PROCESSORS.map((name) => request('GET', name, `/admin/payments-summary${query}`, null, timeout));
}

function request(method, processor, target, content = null, timeout = '10s') {
  return {
    method,
    url: PROCESSOR_URLS[processor] + target,
    body: content && JSON.stringify(content),
    // One name for all: the query differs, and k6 keeps figures for each name.
    params: { headers: HEADERS, timeout, responseType: 'text', tags: { name: 'admin' } },
  };
}
