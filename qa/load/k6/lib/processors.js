// The administration of the two payment processors. Each function returns requests for http.batch(), so that both
// processors change or answer at the same moment.

import { PROCESSOR_URLS, TOKEN } from './config.js';

export const PROCESSORS = ['default', 'fallback'];

const HEADERS = { 'Content-Type': 'application/json', 'X-Rinha-Token': TOKEN };

// `weather` says for each processor how slow it is and whether it fails: {default: [delay in ms, failing], …}.
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
    // One name for all: a query makes each address another, and k6 keeps figures for every name.
    params: { headers: HEADERS, timeout, responseType: 'text', tags: { name: 'admin' } },
  };
}
