// Requests to the gateway under test.

import http from 'k6/http';
import { BASE_URL } from './config.js';

const HEADERS = { 'Content-Type': 'application/json' };

export function pay(amount, timeout, tags) {
  const body = `{"correlationId":"${crypto.randomUUID()}","amount":${amount}}`;
  return http.post(`${BASE_URL}/payments`, body, { headers: HEADERS, timeout, tags: { name: 'pay', ...tags } });
}

// For http.batch().
export function summaryRequest(query, timeout) {
  const params = { timeout, responseType: 'text', tags: { name: 'summary' } };
  return { method: 'GET', url: `${BASE_URL}/payments-summary${query}`, params };
}

export function purge() {
  return http.post(`${BASE_URL}/purge-payments`, null, { responseType: 'text', tags: { name: 'purge' } });
}
