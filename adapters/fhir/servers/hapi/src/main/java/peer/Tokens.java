package peer;

import ca.uhn.fhir.rest.api.RestOperationTypeEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.AuthenticationException;
import ca.uhn.fhir.rest.server.interceptor.auth.AuthorizationInterceptor;
import ca.uhn.fhir.rest.server.interceptor.auth.IAuthRule;
import ca.uhn.fhir.rest.server.interceptor.auth.RuleBuilder;
import java.util.List;
import java.util.Set;

/** Who may do what, in HAPI's own terms: its authorization interceptor, given rules by bearer token. */
final class Tokens extends AuthorizationInterceptor {

    private final Set<String> writers;
    private final String reader;

    Tokens(String writers, String reader) {
        this.writers = Set.of(writers.split(" "));
        this.reader = reader;
    }

    @Override
    public List<IAuthRule> buildRuleList(RequestDetails request) {
        if (request.getRestOperationType() == RestOperationTypeEnum.METADATA) {
            return new RuleBuilder().allow().metadata().build();
        }
        String said = request.getHeader("Authorization");
        String token = said != null && said.startsWith("Bearer ") ? said.substring(7) : "";
        if (writers.contains(token)) {
            return new RuleBuilder().allowAll().build();
        }
        if (reader.equals(token)) {
            return new RuleBuilder().allow().read().allResources().withAnyId().andThen().denyAll().build();
        }
        throw new AuthenticationException("this token is not known here");
    }
}
